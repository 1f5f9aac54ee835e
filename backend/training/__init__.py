"""Training of tokenizer and language model: resumable, with progress bars, every figure logged."""
