"""The market itself: instruments, books, trades, candles and rates, without a word of how they are told."""
