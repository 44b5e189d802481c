# %% [markdown]
# # Your own data
#
# From a table in a file to a trained network and its predictions. Nothing but the table is
# needed: what its columns are is inferred, told, and kept.

# %%
import json

import numpy as np

import lbexp

# %% [markdown]
# A table of 600 flowers: two lengths, a colour, and the species that is to be predicted. Some
# lengths are missing.

# %%
generator = np.random.default_rng(0)
species = generator.choice(['iris', 'lily', 'rose'], 600)
length = generator.normal(np.where(species == 'iris', 4.0, 6.0), 0.8)
width = generator.normal(np.where(species == 'lily', 1.0, 2.0), 0.4)
colour = np.where(species == 'rose', 'red', generator.choice(['red', 'white', 'blue'], 600))
lines = ['length,width,colour,species']
for row in zip(length.round(2), width.round(2), colour, species, strict=True):
    lines.append(','.join(map(str, row)))
for number in range(1, 600, 50):
    lines[number] = ',' + lines[number].partition(',')[2]
with open('flowers.csv', 'w') as file:
    file.write('\n'.join(lines) + '\n')
print('\n'.join(lines[:4]))

# %% [markdown]
# A workload is a task on a data set with a model. `mlp` takes numbers and categories; they are
# standardised and encoded by the training rows.

# %%
task = dict(name='classification', data='flowers.csv', model='mlp')
adam = dict(name='adamw', learning_rate=0.01)
fields = {'workload': task, 'optimizer': adam, 'batch_size': 32, 'epochs': 20.0}
try:
    result = lbexp.run(fields, workdir='first')
except lbexp.RunFailed as error:
    print(error)

# %% [markdown]
# Twelve lengths are missing, and nothing is made up for them in silence: the error names the
# column and what there is to choose from. Nothing was written. Here the missing ones become the
# mean of the training rows, with a column that says where.

# %%
table = dict(name='file', path='flowers.csv', missing='mean')
fields['workload'] = dict(task, data=table)
result = lbexp.run(fields, workdir='first', figures=[])

# %% [markdown]
# What was inferred is in the workdir.

# %%
schema = json.loads((result.workdir / 'schema.json').read_text())['flowers.csv']
print(schema['label'])
for column, description in schema['columns'].items():
    print(column, description)

# %% [markdown]
# The rows of the run are a DataFrame, the figures of the report are figures of matplotlib, and
# the whole page is `result.report`.

# %%
result.table()[['epoch', 'loss', 'accuracy', 'test_loss', 'test_accuracy']].dropna().tail(3)

# %%
result.figure('test_accuracy')

# %% [markdown]
# The trained network answers to rows of the table, with texts as they are.

# %%
trial = result.trial()
rows = {'length': [3.9, 6.1, 6.0], 'width': [2.0, 1.0, 2.1], 'colour': ['blue', 'white', 'red']}
for logits in trial.predict(rows):
    print(trial.output_names[logits.argmax()], logits.round(1))

# %% [markdown]
# Which rows are held out is a rule of the data, not of the trial's seed. `fold` makes it
# cross-validation, and a fold is an axis like any other: three folds are three trials of one
# command.

# %%
folds = [('workload.data.fold', range(3))]
thirds = {'workload.data.folds': 3, 'epochs': 10.0, 'sweep': folds}
crossed = lbexp.run(fields, thirds, workdir='folds', figures=[])
crossed.final()[['trial', 'workload.data.fold', 'test_accuracy']]
