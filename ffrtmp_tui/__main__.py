"""`python -m ffrtmp_tui` is `ffrtmp`."""

from ffrtmp_tui.cli import main

raise SystemExit(main())
