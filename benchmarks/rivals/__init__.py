"""What the learner is measured against."""
