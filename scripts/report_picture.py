"""Takes a picture of a report's top: python scripts/report_picture.py WORKDIR docs/report.png

Chromium opens the page, without a window. The picture has 64 colours, so that it is small. That of
the README is of `python -m lbexp.main --config=sweep_lr`. Exit status: 0 done, 1 no Chromium, or it
failed, 2 wrong use.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

from PIL import Image

_SIZE = 1100, 1500  # pixels
_BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')


def main(argv: list[str]) -> int:
    page = pathlib.Path(*argv[1:2], 'report.html').absolute()
    if len(argv) != 3 or not page.exists():
        print(__doc__, file=sys.stderr)
        return 2
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        print(f'found none of {", ".join(_BROWSERS)}; install one', file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        picture = pathlib.Path(folder, 'picture.png')
        size = f'--window-size={_SIZE[0]},{_SIZE[1]}'
        command = [
            browser,
            '--headless',
            '--no-sandbox',
            '--disable-gpu',
            '--hide-scrollbars',
            size,
        ]
        command += [f'--screenshot={picture}', '--virtual-time-budget=10000', page.as_uri()]
        if subprocess.run(command, capture_output=True).returncode or not picture.exists():
            print(f'{browser} took no picture of {page}', file=sys.stderr)
            return 1
        Image.open(picture).convert('RGB').quantize(64).save(argv[2], optimize=True)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
