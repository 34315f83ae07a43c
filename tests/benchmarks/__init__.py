"""What the toolkit costs beside its peers: `make bench` prints a table and the targets, `make profile` where time goes.

`contenders` holds one file per contender: the toolkit, pika by hand, and the peers. Each runs in a process of its own,
which measures itself (`watch`). `jobs` says what a trial of each job is; `figures`, `targets` and `report` are what is
made of the trials.
"""
