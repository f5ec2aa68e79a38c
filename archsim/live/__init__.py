"""Models that run as they are, with their recurrent layers computed here. Read the files in this order.

`part` computes one attached layer stack and records what goes through it (`recording`, `frames`). `session` holds the
parts of a model and simulates what was recorded, `result` sums the results of several parts. `torch_session` attaches
to torch modules.

`onnx_model` runs ONNX models: `onnx_plan` cuts the graph at its recurrent nodes, `onnx_parts` computes those by parts,
`onnx_states` finds states that go out and come in again, `onnx_feeds` checks inputs.
"""
