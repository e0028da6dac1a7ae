"""Page templates; a package only so that its `*.html` files reach the wheel."""
