"""One batch's path: read → validate → transform → write.

| file | stage |
|---|---|
| flow.py | a block's rows on their way, with where they came from and which were refused |
| read.py | blocks of a shard, trimmed to the records that are asked for |
| transform.py | hooks |
| rejects.py | what is written of refused rows |
| chain.py | all of them in order |
"""
