"""python -m avtd3_jax: lists the commands of the learner."""

from envloop.listing import listing

if __name__ == "__main__":
    print(listing("avtd3_jax"))
    print("The environment's commands: python -m envloop")
