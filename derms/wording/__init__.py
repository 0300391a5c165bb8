"""What people write and read: durations, powers, instants; for every face. Pure, but for the local time zone."""
