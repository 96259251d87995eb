"""The command `edge-agent`: one module a command, nothing but words in and words out."""
