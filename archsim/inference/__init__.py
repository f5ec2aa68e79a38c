"""Inference: the network computed step by step under a reuse policy (SEMANTICS 1). Read the files in this order.

`workload` holds a network and a trace (`inputs`, `weights`), `policy_parameters` what a policy runs with on them.
`run` cuts the workload into batches (`batching`), and `batch_runner` takes a batch through the layers. Each pass of an
`encoder_run` is a `recurrent_pass` or, if the policy skips columns, a `delta_pass`; `decoding` and `head` turn outputs
into predictions. `stack` runs the layers alone, from given states, for models whose other parts are computed elsewhere.
`comparison` runs a policy beside the run without reuse, `measure` finds the scales of inputs on calibration data.
"""
