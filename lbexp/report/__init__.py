FIGURE_FORMATS = ('png', 'pdf')  # for slides, for a paper
