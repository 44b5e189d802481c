"""Open Bandit: which piece of clothing that a shop shows is clicked on? A sample of a true log."""

import zipfile

import duckdb

from lbexp.data.packages import Package, Recipe

_WHEEL = Package(
    'pip',
    'obp',
    '0.4.1',
    'obp-0.4.1-py3-none-any.whl',
    '87dec9caf4283c25ab13036532e0a24566f1c7bdcad1653a8ded43b2f5ef8208',
)
_POLICIES = ('random', 'bts')  # uniform, and Thompson sampling with a Bernoulli reward
_CAMPAIGNS = ('all', 'men', 'women')  # each with items of its own
# `policy` hashes categories of items with a salt of its own; those of 'random' stand for both.
_QUERY = """
    select '{policy}' as policy, '{campaign}' as campaign, epoch(timestamp) as timestamp,
        '{campaign}-' || item_id as item, position,
        user_feature_0, user_feature_1, user_feature_2, user_feature_3,
        list_extract(list_value(*columns('user-item_affinity_.*')), item_id + 1) as affinity,
        item_feature_0, item_feature_1, item_feature_2, item_feature_3,
        propensity_score, click
    from read_csv('{log}') as log join read_csv('{items}') as items using (item_id)
"""


def open_bandit() -> Recipe:
    """60,000 impressions of the fashion shop ZOZOTOWN in a week of November 2019, 287 of them with
    `click` 1 (Saito et al. 2021, arXiv:2008.07146): the sample of 10,000 for each of two policies
    and three campaigns.

    `item` is told apart by campaign; `affinity` is the number of the user's earlier clicks on it;
    `position` is 1, 2 or 3 from the left. In the order of `timestamp` [s]: the last ones are the
    future.
    """
    return Recipe('1.0.0', (_WHEEL,), 'Apache 2.0 (the whole package; data of ZOZO, Inc.)', _write)


def _write(files, folder):
    (wheel,) = files
    queries = []
    with zipfile.ZipFile(wheel) as archive:
        for policy in _POLICIES:
            for campaign in _CAMPAIGNS:
                log = f'obp/dataset/obd/{policy}/{campaign}/{campaign}.csv'
                items = f'obp/dataset/obd/random/{campaign}/item_context.csv'
                query = _QUERY.format(
                    policy=policy,
                    campaign=campaign,
                    log=archive.extract(log, folder.parent),
                    items=archive.extract(items, folder.parent),
                )
                queries.append(query)
    written = folder / 'examples.parquet'
    with duckdb.connect() as connection:
        table = connection.sql(' union all '.join(queries))
        in_order = table.order('timestamp, policy, item, position')
        in_order.write_parquet(str(written), compression='zstd')
    return written
