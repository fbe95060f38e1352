"""What the object services over HTTP have in common, whatever their request forms: ranges, checksums, dates, documents, failures."""
