"""A small believable team, the servers it would use, and the story that shows crm-sync at work.

`team.build` makes the sample data and says what the diary must hold afterwards; it runs nothing.
`servers` starts real mail and calendar servers on loopback. `run` lets the real commands loose.
"""
