"""How well does it drive? Experiments by name, their campaigns, and the tables and figures of what came out."""
