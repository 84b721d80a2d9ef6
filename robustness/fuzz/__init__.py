"""minicarla under attack: inputs that no honest client sends, by the million."""
