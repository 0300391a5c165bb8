"""What stands in front of a screen: questions, forms, help."""
