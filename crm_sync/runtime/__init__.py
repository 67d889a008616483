"""What a running process needs: clock, plug-ins, resources, scheduler, systemd."""
