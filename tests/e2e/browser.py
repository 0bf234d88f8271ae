"""A headless browser that is logged in to the Home Assistant under test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import os
from pathlib import Path
import shutil

from PIL import Image
from playwright.async_api import Page, async_playwright, expect

from .house import USER, USER_PASSWORD

WIDTH, HEIGHT = 1280, 860
TIMEOUT_MS = 60_000
"""Generous: machines that run tests are busy."""
IMAGES = Path(__file__).parents[2] / "docs" / "images"
UPDATE_IMAGES = "HY_HEATING_UPDATE_IMAGES"
"""Set it to have the pictures of the documents taken anew."""

DOCUMENTED = {
    "cabinet",
    "cabinet-zh",
    "discovered",
    "energy",
    "flow-broker",
    "flow-connection",
    "flow-heard",
    "gateway",
    "valve",
    "valve-failed",
}
"""The pictures that the documents show."""

_COLORS = 256
_ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]


@asynccontextmanager
async def logged_in(url: str) -> AsyncIterator[Page]:
    """Start the system's browser and log in."""
    program = shutil.which("chromium")
    assert program, "chromium is not installed; scripts/e2e does that"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        try:
            page = await browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT},
                locale="en-US",
                timezone_id="Asia/Shanghai",
            )
            page.set_default_timeout(TIMEOUT_MS)
            expect.set_options(timeout=TIMEOUT_MS)
            await page.goto(url)
            await page.locator("input[name=username]").fill(USER)
            await page.locator("input[name=password]").fill(USER_PASSWORD)
            await page.keyboard.press("Enter")
            await page.wait_for_url("**/home/**")
            yield page
        finally:
            await browser.close()


async def take_picture(page: Page, folder: Path, name: str) -> None:
    """Keep a screenshot in a folder, and for the documents where that is asked for."""
    await page.wait_for_timeout(700)  # until animations are over
    picture = await page.screenshot()
    await asyncio.to_thread(_keep, picture, folder / f"{name}.png")


def _keep(picture: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture)
    if UPDATE_IMAGES in os.environ and path.stem in DOCUMENTED:
        IMAGES.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            few_colors = image.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
            few_colors.save(IMAGES / path.name, optimize=True)
