"""What a person corrects of a read-out: kept as a source of pictures, and learnt from."""
