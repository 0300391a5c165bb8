"""What the screens are built of; here rows become strips."""
