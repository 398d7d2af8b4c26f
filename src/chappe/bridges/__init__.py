"""Ways between channels of the hub and those of other systems; they stand beside the API and use what it uses."""
