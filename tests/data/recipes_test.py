"""What is written of packages of icons and of impressions, from small ones of that layout."""

import io
import json
import tarfile
import zipfile

import duckdb
import numpy as np
from PIL import Image

from lbexp.data import packages


def test_an_emoji_and_its_skin_tones_have_one_base(tmp_path):
    """Four emoji of two vendors, one with a variant, and a component, which is left out. Of those
    that some vendor draws the same the base is one, too."""
    described = [
        {'category': 'Flags', 'image': 'a.png', 'short_name': 'flag'},
        {'category': 'Component', 'image': 'b.png', 'short_name': 'skin'},
        {
            'category': 'People & Body',
            'image': 'c.png',
            'short_name': 'wave',
            'skin_variations': {'1F3FB': {'image': 'd.png'}},
        },
        {'category': 'Flags', 'image': 'e.png', 'short_name': 'island'},
        {'category': 'Flags', 'image': 'f.png', 'short_name': 'rock'},
    ]
    packed = []
    for vendor, red in (('google', 10), ('twitter', 20)):
        packed.append(tmp_path / f'{vendor}.tgz')
        with tarfile.open(packed[-1], 'w:gz') as archive:
            file = tmp_path / 'emoji.json'
            file.write_text(json.dumps(described))
            archive.add(file, 'package/emoji.json')
            for number, name in enumerate('abcdef'):
                drawn = number
                if (vendor, name) in (('google', 'e'), ('twitter', 'f')):
                    drawn = 0  # as the first flag
                picture = Image.new('RGBA', (64, 64), (red, drawn, 0, 255))
                picture.putpixel((0, 0), (0, 0, 0, 0))
                stream = io.BytesIO()
                picture.save(stream, 'png')
                member = tarfile.TarInfo(f'package/img/{vendor}/64/{name}.png')
                member.size = len(stream.getvalue())
                archive.addfile(member, io.BytesIO(stream.getvalue()))
    target = tmp_path / 'examples'
    target.mkdir()
    with np.load(packages.recipe('emoji').write(packed, target)) as examples:
        for vendor, red in (('google', 10), ('twitter', 20)):
            pixels = examples[vendor][:, 1, 1].tolist()
            island, rock = (0, 5) if vendor == 'google' else (4, 0)
            assert pixels == [[red, green, 0] for green in (0, 2, 3, island, rock)]
            assert (examples[vendor][:, 0, 0] == 255).all()
        assert examples['label'].tolist() == [2, 5, 5, 2, 2]
        assert examples['base'].tolist() == [0, 1, 1, 0, 0]
        assert examples['name'].tolist() == ['flag', 'wave', 'wave', 'island', 'rock']


def test_impressions_of_a_shop_are_joined_with_their_items_in_the_order_of_time(tmp_path):
    """Each of six logs is an item that is shown to two users; one of them has clicked on it."""
    wheel = tmp_path / 'obp.whl'
    with zipfile.ZipFile(wheel, 'w') as archive:
        for i, policy in enumerate(('random', 'bts')):
            for j, campaign in enumerate(('all', 'men', 'women')):
                where = f'obp/dataset/obd/{policy}/{campaign}'
                users = ',user_feature_0,user_feature_1,user_feature_2,user_feature_3'
                affinities = ''.join(f',user-item_affinity_{item}' for item in range(12))
                header = f',timestamp,item_id,position,click,propensity_score{users}{affinities}'
                lines = [header]
                for k in range(2):
                    time = f'2019-11-24 00:00:{30 - 10 * k + 3 * i + j:02}.500000+00:00'
                    of_user = [0.0] * 12
                    of_user[11] = float(k)
                    of_user[2] = 7.0  # of another item
                    row = [k, time, 11, 3, k, 0.25, 'u0', 'u1', 'u2', f'u{k}', *of_user]
                    lines.append(','.join(map(str, row)))
                archive.writestr(f'{where}/{campaign}.csv', '\n'.join(lines) + '\n')
                items = ',item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3'
                salted = f'0,11,{j}.5,{policy}{campaign},b,c\n1,2,9.5,x,y,z\n'
                archive.writestr(f'{where}/item_context.csv', f'{items}\n{salted}')
    target = tmp_path / 'work' / 'examples'
    target.mkdir(parents=True)
    written = packages.recipe('open_bandit').write([wheel], target)
    with duckdb.connect() as connection:
        table = connection.read_parquet(str(written))
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()]
    assert [row['click'] for row in rows] == [1] * 6 + [0] * 6
    assert [row['affinity'] for row in rows] == [1.0] * 6 + [0.0] * 6
    assert [row['item'] for row in rows[:3]] == ['all-11', 'men-11', 'women-11']
    # the categories of an item are those of one policy
    assert {row['item_feature_1'] for row in rows} == {'randomall', 'randommen', 'randomwomen'}
    seconds = [row['timestamp'] for row in rows]
    assert seconds[0] == 1574553620.5 and seconds == sorted(seconds)
