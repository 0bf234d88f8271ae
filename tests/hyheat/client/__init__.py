"""The asyncio client of one gateway, over a fake link in a loop where waiting takes no time."""
