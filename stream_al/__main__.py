"""`python -m stream_al` is `stream-al`."""

from stream_al.service.main import main

if __name__ == "__main__":
    main()
