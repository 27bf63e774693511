"""The main job on one machine, shown while it works, and its proof."""
