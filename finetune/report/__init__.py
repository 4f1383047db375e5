"""What came out, beside what was published: Markdown, HTML and plots."""
