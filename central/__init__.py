"""The centre: takes hard cases from the broker, asks a language model, checks its answer, sends a draft verdict."""
