"""What pages say and how: numbers, times, names, states, events in words. The one home of each."""
