"""What a network is to archsim: layers with weights, what feeds them, what reads them."""
