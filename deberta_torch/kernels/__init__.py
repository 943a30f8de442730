"""What is only speed: quicker ways to compute what the model's files say, or the same in less memory."""
