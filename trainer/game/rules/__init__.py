"""The rules on numbers alone: rewards, learnability, intrinsic rewards, and TRR++."""
