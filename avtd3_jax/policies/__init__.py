"""Trained policies that come with the package, a folder each; `README.md` in it is the policy's card."""
