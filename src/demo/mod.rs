//! A live system to try: sample services, load, a scratch directory.
