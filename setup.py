"""What pyproject.toml cannot say: the experiment files of the repository are in the package."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=['lbexp*']), 'lbexp.experiments'],
    package_dir={'lbexp.experiments': 'experiments'},
)
