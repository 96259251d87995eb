"""The parts of the documents, each from facts and figures to blocks."""
