"""python -m envloop: lists the commands of the environment."""

from envloop.listing import listing

if __name__ == "__main__":
    print(listing("envloop"))
