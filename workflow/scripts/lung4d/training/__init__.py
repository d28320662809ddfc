"""What every training shares, whatever it trains.

device         GPU or CPU, and what it can do
random_states  seeds, and states that a checkpoint can hold
digest         what a training depends on, as the name of its checkpoints
checkpoints    states that survive a kill, a full disk and a change of settings
lock           one process at a time in a folder
earlier_jobs   jobs that trained in a folder before, and when they are gone
stopping       signals that end a training after its step
pace           steps a second, and the time left
history        a table that grows with the training
gradients      sums over passes and ranks, clipping, learning rate
ranks          processes that train one model together
launch         how these are started
settings       a part of a config section as a checked dataclass
"""
