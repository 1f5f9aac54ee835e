"""The language model that answers an instruction with motion codes: prompts, vocabulary, adapters, decoding."""
