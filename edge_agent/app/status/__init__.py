"""What is going on and what is missing: asked, put into documents, shown."""
