from avtd3_jax import runtime

runtime.setup("cpu")
