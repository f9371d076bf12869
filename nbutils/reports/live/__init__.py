"""What a notebook cell shows of a panel that runs on its page: a still picture, which is all that JupyterLab,
paper and a page without JavaScript have, and what the panel needs; `reports.render` puts models into it."""
