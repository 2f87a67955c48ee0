"""The sections of mbom's own BOM: each module turns facts into one part of the document."""
