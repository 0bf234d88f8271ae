"""Draw the brand images of the integration from the SVG files in scripts/lib/brand."""

import io
from pathlib import Path
import re

from PIL import Image
import resvg_py

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "scripts" / "lib" / "brand"
TARGET = ROOT / "custom_components" / "hy_heating" / "brand"
COLORS = {
    "": {
        "FLAME": "#ffb627",
        "HOT": "#f04e23",
        "WARM": "#e8486b",
        "MILD": "#8a63d2",
        "COOL": "#1e7be0",
        "INK": "#2b3340",
    },
    "dark_": {
        "FLAME": "#ffc64d",
        "HOT": "#ff6a3d",
        "WARM": "#f5668a",
        "MILD": "#a283ea",
        "COOL": "#4c9dff",
        "INK": "#f2f4f7",
    },
}
OVERSAMPLED = 4


def draw(name: str, colors: dict[str, str], width: int) -> Image.Image:
    """Return a drawing, trimmed to what it shows and `width` pixels wide."""
    svg = (SOURCES / name).read_text(encoding="utf-8")
    svg = re.sub("|".join(colors), lambda found: colors[found[0]], svg)
    png = resvg_py.svg_to_bytes(svg_string=svg, width=width * OVERSAMPLED)
    image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    return image.crop(image.getbbox())


def fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return an image scaled into the middle of a transparent canvas."""
    scale = min(size[0] / image.width, size[1] / image.height)
    small = image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
    )
    canvas = Image.new("RGBA", size)
    canvas.paste(small, ((size[0] - small.width) // 2, (size[1] - small.height) // 2))
    return canvas


def logo(colors: dict[str, str], height: int) -> Image.Image:
    """Return the icon with the name beside it."""
    icon = fitted(draw("icon.svg", colors, height), (height, height))
    name = draw("wordmark.svg", colors, height * 4)
    # The capitals are as high as 0.44 of the icon; the g hangs below the line of the others.
    capitals = 186 / 240
    scale = 0.44 * height / (name.height * capitals)
    name = name.resize(
        (round(name.width * scale), round(name.height * scale)), Image.Resampling.LANCZOS
    )
    gap = round(height * 0.16)
    width = height + gap + name.width
    canvas = Image.new("RGBA", (width + width % 2, height))  # half of it is a whole number too
    canvas.paste(icon, (0, 0))
    canvas.paste(name, (height + gap, round(height * 0.34)))
    return canvas


def main() -> None:
    """Write all images."""
    TARGET.mkdir(exist_ok=True)
    for prefix, colors in COLORS.items():
        for name, image in (
            ("icon", fitted(draw("icon.svg", colors, 512), (512, 512))),
            ("logo", logo(colors, 256)),
        ):
            half = (image.width // 2, image.height // 2)
            for suffix, sized in (
                ("@2x", image),
                ("", image.resize(half, Image.Resampling.LANCZOS)),
            ):
                path = TARGET / f"{prefix}{name}{suffix}.png"
                sized.save(path, optimize=True)
                print(f"brand: {path.name}: {sized.width} x {sized.height}")


if __name__ == "__main__":
    main()
