"""Components of the furnished room: materials, panels, furniture, light, and pictures through a lens."""
