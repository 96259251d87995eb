"""Reports and evidence packs: a plant in a window and its figures in, one plain document out, and
its renderings.

Nothing is computed here: figures come from `edge_agent.production`, and a pack is verified by
having them computed there again from the facts it holds. The application writes the files.
"""
