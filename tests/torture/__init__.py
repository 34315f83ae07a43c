"""The torture: real processes on a real broker in front of three real backends, while everything is killed and cut.

`python -m tests.torture --help` runs it (`make torture EVENTS=… KILLS=… BROKER_RESTARTS=… SEED=…`). What became of each
event is counted in the backends themselves. With `--broken NAME` the adaptors break one rule of the protocol on
purpose, and the torture has to notice.
"""
