"""`python -m stream_al` is `stream-al`."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # `python -m` puts the current folder first; see `stream_al.importing`
    from stream_al.service.main import main

    main()
