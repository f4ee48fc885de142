"""The isolation kernel: guests, scheduler, events, devices, the switch. Trusted."""
